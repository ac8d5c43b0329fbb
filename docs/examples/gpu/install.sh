npm install @transmla/kernels @transmla/kernels-webgpu webgpu
