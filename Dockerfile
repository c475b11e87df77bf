# One image for every service of docker-compose.yml; the command says which one it is.
FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 DAGSTER_HOME=/opt/streamforge
WORKDIR /opt/streamforge
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY streamforge_core streamforge_core
COPY streamforge_dagster streamforge_dagster
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
COPY streamforge.yaml workspace.yaml dagster.yaml ./
RUN useradd --create-home streamforge && mkdir data && chown -R streamforge /opt/streamforge
USER streamforge
