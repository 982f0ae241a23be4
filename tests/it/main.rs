//! Everything that needs more than one crate: the rules of the house, and real processes
//! on real data. One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod alerts;
mod api;
mod auth;
mod changelog_files;
mod cluster;
mod commands;
mod contract;
mod docs;
mod facade;
mod faults;
mod flights;
mod helm;
mod http;
mod image;
mod kills;
mod limits;
mod match_recognize;
mod newcomer;
mod nexmark_sql;
mod oracle;
mod s3;
mod sql_shell;
mod tidy;
