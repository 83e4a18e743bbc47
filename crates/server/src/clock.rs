//! Dates in names of files and in answers.

use time::OffsetDateTime;
use time::macros::format_description;

/// Now, in local time where that can be told, otherwise in UTC.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_local().unwrap_or_else(|_| OffsetDateTime::now_utc())
}

/// Year, month, day, hour, minute and second without separators, as A1111 writes times.
pub(crate) fn timestamp(moment: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day][hour][minute][second]");
    moment.format(format).unwrap_or_else(|_| "0".to_owned())
}

/// `2026-01-31`.
pub(crate) fn date(moment: OffsetDateTime) -> String {
    moment.date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn formats() {
        let moment = datetime!(2026-01-31 07:08:09 UTC);
        assert_eq!(timestamp(moment), "20260131070809");
        assert_eq!(date(moment), "2026-01-31");
    }
}
