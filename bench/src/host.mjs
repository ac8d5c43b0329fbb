/** The process of one contender: loads its module, starts it, runs its tasks. See `contender.mjs`. */
let contender;

process.on("message", async ({ start, task, stop }) => {
  try {
    if (stop) {
      await contender?.close?.();
      process.exit();
    } else if (start) {
      const { start: open } = await import(`./contenders/${start.module}.mjs`);
      contender = await open(start.options);
      process.send({ value: contender.facts });
    } else {
      process.send({ value: await contender.run(task) });
    }
  } catch (error) {
    const [line] = String(error?.message ?? error).split("\n");
    process.send({ error: line, incorrect: error?.name === "Incorrect" });
  }
});

process.on("disconnect", () => process.exit());
