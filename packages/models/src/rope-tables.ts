import { ropeTable, type Device, type RopeTable } from "@transmla/kernels";

/** Rotary tables of a model: one per distinct list of frequencies, grown when a sequence becomes longer. */
export class RopeTables {
  private readonly tables = new Map<string, { table: RopeTable; positions: number }>();

  constructor(private readonly device: Device) {}

  /**
   * The table of a list of frequencies that covers at least `positions` positions; nothing for an empty list. Must not be
   * called inside a device scope, whose end would release a table that was just built.
   */
  covering(frequencies: Float64Array, positions: number): RopeTable | undefined {
    if (frequencies.length === 0) return undefined;
    const key = frequencies.join();
    const known = this.tables.get(key);
    if (known && known.positions >= positions) return known.table;
    // Doubling keeps the number of rebuilds logarithmic in the context.
    const covered = Math.max(positions, 2 * (known?.positions ?? 128));
    const table = ropeTable(this.device, frequencies, covered);
    if (known) this.releaseTable(known.table);
    this.tables.set(key, { table, positions: covered });
    return table;
  }

  release(): void {
    for (const { table } of this.tables.values()) this.releaseTable(table);
    this.tables.clear();
  }

  private releaseTable({ cos, sin }: RopeTable): void {
    this.device.release(cos);
    this.device.release(sin);
  }
}
