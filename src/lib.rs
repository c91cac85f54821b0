//! Tells a shop who its regulars are and what they buy together.
//!
//! Order lines go in as Parquet or CSV; scored customers, their segments, frequent itemsets and association rules come
//! out as Parquet, audited, one generation at a time. Everything relational is a file in `sql/`, one `SELECT` each; what
//! SQL cannot do fast or exactly is an aggregate in [`udaf`]; Rust drives.
//!
//! ```text
//! source -> clean -> aggregate -> score customers -> mine -> score rules -> audit -> publish -> query
//! ```
//!
//! No stage reads a later one.
//!
//! # Where to look
//!
//! | for | read |
//! |---|---|
//! | what a person types | [`cli`], then [`commands`] for what each command does; `commands/tell.rs` for what schedulers are told; [`logs`] |
//! | what it means | [`config`]: every key with its type and default in `config/keys.rs`, where values come from in `config/settings.rs` |
//! | the whole job in order | [`job`]: prepare, compute, audit, publish |
//! | the stages | [`pipeline`], which runs SQL files through [`steps`] (and `table_writer.rs`, for tables): `pipeline/customers.rs` from lines to scored customers, `pipeline/mine.rs` from lines to itemsets, `pipeline/rules.rs` from itemsets to rules; `pipeline/groups.rs` for groups of baskets that are mined apart ([`group`]) |
//! | the miner itself | [`mining`]: plain Rust over flat vectors, which `udaf/itemsets_of_ranks.rs` hands to SQL |
//! | a relation | `sql/<stage>/<relation>.sql`, listed in [`sql`] |
//! | the input | [`location`] and [`store`] for where it stands, [`source`] for files and schema, `source/order_line.rs` for our columns, `source/mapping.rs` for what a user wrote of them, `source/hierarchy.rs` for categories, `source/cast.rs` for types |
//! | aggregates and functions | [`udaf`], [`udf`] |
//! | published tables | [`tables`] for schemas, [`sink`] for where their rows go, [`audit`], [`publish`] for staging, commits and promotion; `publish/spread.rs` for what executors wrote |
//! | reading what was published | [`query`] |
//! | segment maps | [`segments`], with those that come along in `segments/*.toml`; `segments/table.rs` for those in a table |
//! | privacy | `udf/pseudonym.rs` for ids, [`withhold`] for small groups |
//! | the engine | [`session`], [`spill`] for where it spills to, with the planner rules of ours in [`aggregate_once`], [`aggregate_in_parts`], [`aggregate_by_number`], [`sort_early`] and [`read_ahead`], whose shape is in `planner_rule.rs`; [`kept`] for what stands between stages |
//! | the cluster | [`cluster`]: `cluster/plan.rs` for what goes to it, `cluster/client.rs` for how, `cluster/rules.rs` for what its tasks cannot share, `cluster/write.rs` for the sink that executors run, `cluster/serve.rs` for the processes, `cluster/measures.rs` for what executors tell of themselves, `cluster/jobs.rs` and `cluster/slots.rs` for what the scheduler of Ballista gets wrong when executors are lost |
//! | the demo's shop | [`sample`] |
//!
//! # What holds everywhere
//!
//! 1. `sql/` names no path, and no SQL is put together as text. Values are `$parameters`; a user's expression enters
//!    through the engine's expression parser; what stands behind a relation is registered in Rust.
//! 2. Only [`session`] builds a context. Nothing else knows which engine runs.
//! 3. An aggregate has no hidden state: parameters are literal arguments, since only its name crosses to another process.
//! 4. Counts are integers up to the last division, money is decimal, and doubles are never summed across rows whose order
//!    may vary.
//! 5. No result depends on partitions, batch size or the order of rows: the published bytes are the same. One writer
//!    casts to the declared schema and cuts batches of a fixed size; every sort order that shows in a table is total.
//! 6. An item counts once a basket.
//! 7. Nothing is published unless its audits return no row.
//! 8. Nothing is cut silently: a limit that bites is an error that says which key to raise.
//! 9. Every line that is left out is counted by its reason in `run_summary`.
//!
//! # What is deliberately absent
//!
//! No resuming: a run is done or done again. No state beside the output's own folder. No network beyond the configured
//! locations. No configuration file that was not named.

pub mod aggregate_by_number;
pub mod aggregate_in_parts;
pub mod aggregate_once;
pub mod audit;
pub mod chunk;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod crash_point;
pub mod error;
mod expression;
pub mod group;
mod grouped_aggregate;
pub mod job;
pub mod kept;
pub mod location;
pub mod logs;
pub mod mining;
pub mod pipeline;
mod planner_rule;
mod prometheus;
pub mod publish;
pub mod query;
pub mod read_ahead;
pub mod rows;
pub mod sample;
pub mod segments;
pub mod session;
pub mod signals;
pub mod sink;
pub mod sort_early;
pub mod source;
pub mod spill;
pub mod sql;
pub mod steps;
pub mod store;
mod table_writer;
pub mod tables;
#[cfg(test)]
mod test_session;
pub mod text;
pub mod udaf;
pub mod udf;
pub mod withhold;
