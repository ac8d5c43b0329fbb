node viewer.mjs
