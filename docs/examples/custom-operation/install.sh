npm install @transmla/kernels @transmla/kernels-gpujs
