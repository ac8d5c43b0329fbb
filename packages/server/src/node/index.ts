export { listen, type ConnectionLimits, type Listening, type ListenOptions } from "./listen";
export { runInWorker, type WorkerModel } from "./run-in-worker";
export { workerService, type WorkerService, type WorkerServiceOptions } from "./worker-service";
