//! The programs of `examples/`, each on a real server.

mod api_gateway;
mod db_pool;
mod llm_gateway;
mod log_level;
mod server;
