//! auth

pub mod id_token;
pub mod jwks;
mod jws;
pub mod loopback;
