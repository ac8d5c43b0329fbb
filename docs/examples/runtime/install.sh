npm init --yes
npm install @transmla/tensor-io @transmla/kernels @transmla/latent-cache \
  @transmla/models @transmla/generation @transmla/sample-model
