export { ServerError, serverErrors, type ServerErrorCode } from "./errors";
export { openaiHandler, type HandlerOptions, type OpenAiHandler } from "./handler";
export { defaultLimits, type Limits } from "./limits";
export { localService, type ServedModel, type TextAnswer, type TextService } from "./service";
