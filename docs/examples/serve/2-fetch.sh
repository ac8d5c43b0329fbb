node fetch.mjs
