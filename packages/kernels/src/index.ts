export type * from "./device";
export { ropeTable } from "./rope-table";
