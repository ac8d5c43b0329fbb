/** Formats of panels; `cpu/packed-weight.ts` has the same numbers. */
export const F32: i32 = 0;
export const BF16: i32 = 1;
export const F16: i32 = 2;
export const I8: i32 = 3;
export const Q8_0: i32 = 4;
export const Q4_0: i32 = 5;
export const Q4_1: i32 = 6;
export const Q4_K: i32 = 7;
export const Q6_K: i32 = 8;

/** Rows of binary16 that are to be widened into F32 panels; a format of incoming rows only. */
export const WIDENED_F16: i32 = 9;
