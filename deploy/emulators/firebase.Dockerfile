# Google's Firebase emulators, of the version the tests use; firebase-tools asks for Java 21, which Debian 13 has.
FROM docker.io/library/node:22-trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends openjdk-21-jre-headless && rm -rf /var/lib/apt/lists/*
RUN npm install -g firebase-tools@15.34.2 && firebase setup:emulators:firestore
WORKDIR /project
COPY deploy/firestore/firestore.rules deploy/firestore/firestore.indexes.json deploy/emulators/firebase.json ./
ENTRYPOINT ["firebase", "emulators:start", "--project", "demo-ekklesia", "--only", "auth,firestore"]
