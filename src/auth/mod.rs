//! auth

pub mod service;
