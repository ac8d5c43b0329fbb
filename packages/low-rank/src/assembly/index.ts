/**
 * The inner loops of this package on pairs of float64 numbers, compiled to one WebAssembly module. Pointers are byte
 * addresses in its memory, sizes and strides are in numbers. Nothing here allocates.
 */
export { packColumns, packRows } from "./pack";
export { multiplyPanels } from "./product";
export { symmetricTimesVector } from "./symmetric";
export { addRows, multiplyRows } from "./rows";
