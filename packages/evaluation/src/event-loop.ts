/** A device that computes on this thread never lets timers and input run, so work in steps gives way now and then. */
export class EventLoop {
  private since = performance.now();

  /** Between two steps: lets other work run if the last time is `milliseconds` ago. */
  async giveWay(milliseconds = 50): Promise<void> {
    if (performance.now() - this.since < milliseconds) return;
    await new Promise<void>((resolve) => void setTimeout(resolve, 0));
    this.since = performance.now();
  }
}
