//! The copy of benchmarks/rebuild.py by the Rust driver, to see how far from it Python is.
//!
//!     copy-by-rust HOST:PORT KEYSPACE BATCH
//!
//! Token ranges, several at once; pages with the write time and TTL of each cell, decoded without a
//! copy of their own; unlogged batches within one partition, many in flight. It is right only where
//! the cells of a row share one time and one life, as they do in that benchmark, and ends if they
//! don't. Prints how many rows it copied, and the seconds.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use futures::stream::{self, StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::response::PagingState;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;
use scylla::DeserializeRow;

const RANGES: i128 = 64;
const READERS: usize = 4;
const IN_FLIGHT: usize = 16; // of each reader
const PAGE_ROWS: i32 = 5000;
const CELLS: [&str; 6] = [
    "destination_number",
    "call_duration_seconds",
    "source_cell_tower_id",
    "destination_cell_tower_id",
    "call_completed",
    "source_phone_imei",
];

type Failure = Box<dyn Error + Send + Sync>;

#[derive(DeserializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
struct Call<'frame> {
    phone: &'frame str,
    at: CqlTimestamp,
    to: &'frame str,
    seconds: Option<i32>,
    from_tower: Option<&'frame str>,
    to_tower: Option<&'frame str>,
    completed: Option<bool>,
    imei: Option<&'frame str>,
    w0: i64,
    w1: i64,
    w2: i64,
    w3: i64,
    w4: i64,
    w5: i64,
    t0: Option<i32>,
    t1: Option<i32>,
    t2: Option<i32>,
    t3: Option<i32>,
    t4: Option<i32>,
    t5: Option<i32>,
}

impl Call<'_> {
    fn is_of_one_write(&self) -> bool {
        [self.w1, self.w2, self.w3, self.w4, self.w5] == [self.w0; 5]
            && [self.t1, self.t2, self.t3, self.t4, self.t5] == [self.t0; 5]
    }
}

struct Copy {
    session: Session,
    select: PreparedStatement,
    insert: PreparedStatement,
    most: usize,
}

impl Copy {
    async fn range(&self, low: i64, high: i64) -> Result<usize, Failure> {
        let (mut state, mut copied) = (PagingState::start(), 0);
        loop {
            let (page, next) = self
                .session
                .execute_single_page(&self.select, (low, high), state)
                .await?;
            let page = page.into_rows_result()?;
            let rows = page.rows::<Call>()?.collect::<Result<Vec<_>, _>>()?;
            if !rows.iter().all(Call::is_of_one_write) {
                return Err("the cells of a row differ in their times".into());
            }
            let batches = rows
                .chunk_by(|one, other| one.phone == other.phone)
                .flat_map(|partition| partition.chunks(self.most));
            stream::iter(batches.map(Ok::<_, Failure>))
                .try_for_each_concurrent(IN_FLIGHT, |rows| self.write(rows))
                .await?;
            copied += rows.len();
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(copied),
                ControlFlow::Continue(after) => state = after,
            }
        }
    }

    async fn write(&self, rows: &[Call<'_>]) -> Result<(), Failure> {
        let values: Vec<_> = rows
            .iter()
            .map(|c| {
                let cells = (c.phone, c.to, c.at, c.seconds, c.from_tower, c.to_tower);
                let (phone, to, at, seconds, from, into) = cells;
                let life = c.t0.unwrap_or(0);
                (
                    phone,
                    to,
                    at,
                    seconds,
                    from,
                    into,
                    c.completed,
                    c.imei,
                    c.w0,
                    life,
                )
            })
            .collect();
        if let [only] = values.as_slice() {
            self.session.execute_unpaged(&self.insert, only).await?;
            return Ok(());
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        for _ in rows {
            batch.append_statement(self.insert.clone());
        }
        self.session.batch(&batch, values).await?;
        Ok(())
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let [_, node, keyspace, most] = std::env::args()
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "copy-by-rust HOST:PORT KEYSPACE BATCH")?;
    let session = SessionBuilder::new().known_node(node).build().await?;
    let each = |wrap: &str| CELLS.map(|name| format!("{wrap}({name})")).join(", ");
    let names = CELLS.join(", ");
    let (times, lives) = (each("WRITETIME"), each("TTL"));
    let mut select = session
        .prepare(format!(
            "SELECT source_phone_number, call_timestamp, {names}, {times}, {lives} \
             FROM {keyspace}.call_records \
             WHERE token(source_phone_number) > ? AND token(source_phone_number) <= ?"
        ))
        .await?;
    select.set_page_size(PAGE_ROWS);
    let insert = session
        .prepare(format!(
            "INSERT INTO {keyspace}.other (source_phone_number, destination_number, \
             call_timestamp, call_duration_seconds, source_cell_tower_id, \
             destination_cell_tower_id, call_completed, source_phone_imei) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
        ))
        .await?;
    let copy = Arc::new(Copy {
        session,
        select,
        insert,
        most: most.parse()?,
    });

    let started = Instant::now();
    let bound = |at: i128| (i128::from(i64::MIN) + (at << 64) / RANGES).min(i64::MAX.into()) as i64;
    let copied: usize = stream::iter(0..RANGES)
        .map(|at| {
            let copy = copy.clone();
            tokio::spawn(async move { copy.range(bound(at), bound(at + 1)).await })
        })
        .buffer_unordered(READERS)
        .map(|joined| joined.map_err(Failure::from).and_then(|rows| rows))
        .try_fold(0, |sum, rows| async move { Ok(sum + rows) })
        .await?;
    println!("{copied} {:.3}", started.elapsed().as_secs_f64());
    Ok(())
}
