# Brings the schema of the database up to date, and leaves.
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends sqitch libdbd-pg-perl postgresql-client-15 \
    && rm -rf /var/lib/apt/lists/*
COPY sql /sql
WORKDIR /sql
ENTRYPOINT ["sqitch", "deploy", "--verify", "--target", "db:pg://postgres@postgres/ekklesia"]
