//! project_file
