"""The engines of the stack, in the order in which they start; they stop in reverse."""

from cluster.stack.engine import Engine
from cluster.stack.engines.milvus_lite import MilvusLiteEngine
from cluster.stack.engines.mlflow import MlflowEngine
from cluster.stack.engines.postgres import PostgresEngine
from cluster.stack.engines.ray import RayEngine
from cluster.stack.engines.redis import RedisEngine

STORES: tuple[type[Engine], ...] = (PostgresEngine, RedisEngine, MilvusLiteEngine, MlflowEngine)
KINDS: tuple[type[Engine], ...] = (*STORES, RayEngine)
"""Ray comes last: everything that runs on it inherits the others' addresses."""
