import type { ToWorker } from "./protocol";
import { serve } from "./serve";
import { Workbench } from "./workbench";

const receive = serve(new Workbench(), (message) => postMessage(message));

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => receive(data));
