npm init --yes
npm install @transmla/generation @transmla/kernels @transmla/models \
  @transmla/tensor-io
