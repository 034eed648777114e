//! keyutils
