node custom-operation.mjs
