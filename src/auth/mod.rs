//! auth

pub mod loopback;
