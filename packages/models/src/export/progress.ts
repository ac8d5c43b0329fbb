/** How to follow and stop an export. */
export interface ExportProgress {
  readonly onProgress?:
    | ((progress: { readonly done: number; readonly total: number; readonly unit: string }) => void)
    | undefined;
  readonly signal?: AbortSignal | undefined;
}
