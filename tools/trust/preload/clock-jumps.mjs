// The wall clock jumps by up to a day, forwards and back, whenever it is read.
const now = Date.now;
let state = 1;
Date.now = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return now() + Math.round((state / 2 ** 32 - 0.5) * 172_800_000);
};
