# The OpenID provider of the tests, in the place of Kenni.is.
FROM docker.io/library/node:22-bookworm-slim
WORKDIR /peers
COPY tests/peers/package.json tests/peers/package-lock.json ./
RUN npm ci --omit=optional
COPY tests/peers/kenni_provider.mjs deploy/emulators/service_account.mjs ./
USER node
ENTRYPOINT ["node"]
