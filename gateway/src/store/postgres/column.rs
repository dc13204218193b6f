//! PostgreSQL's integers are signed, ours are not; times and counters stay far below the sign.

use tokio_postgres::Row;

use super::fault::Sql;

pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn integer_opt(value: Option<u64>) -> Option<i64> {
    value.map(integer)
}

pub(crate) fn count_of(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(row: &Row, column: &str) -> Sql<u64> {
    Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0))
}

pub(crate) fn unsigned_opt(row: &Row, column: &str) -> Sql<Option<u64>> {
    Ok(row.try_get::<_, Option<i64>>(column)?.map(|value| u64::try_from(value).unwrap_or(0)))
}
