/** A device that computes on this thread never lets timers and input run, so work in steps gives way now and then. */
export class EventLoop {
  private since = performance.now();

  /** Between two steps: lets other work run if the last time is `milliseconds` ago. */
  async giveWay(milliseconds = 50): Promise<void> {
    if (performance.now() - this.since < milliseconds) return;
    await otherWork();
    this.since = performance.now();
  }
}

/** Resolves after the timers and input that wait now; `setTimeout` would add a millisecond, four in browsers. */
function otherWork(): Promise<void> {
  if (typeof setImmediate === "function") return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener("message", () => {
      port1.close();
      resolve();
    });
    port1.start();
    port2.postMessage(undefined);
  });
}
