node attention.mjs
