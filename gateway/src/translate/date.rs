//! Points in time as the two protocols write them: XEP-0082 and RFC 3339 timestamps, SIP dates (RFC 3261, section 20.17).
//!
//! A point in time is Unix milliseconds, in UTC. Leap seconds are read as the second after them.

const MS_PER_DAY: u64 = 86_400_000;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `2030-01-15T09:30:00Z`: a timestamp of PIDF and a stamp of XEP-0203.
pub fn write_timestamp(ms: u64) -> String {
    let (year, month, day) = civil(ms / MS_PER_DAY);
    let (hour, minute, second) = clock(ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `Tue, 15 Jan 2030 09:30:00 GMT`.
pub fn write_sip_date(ms: u64) -> String {
    let days = ms / MS_PER_DAY;
    let (year, month, day) = civil(days);
    let (hour, minute, second) = clock(ms);
    let name = |names: &[&'static str], index: u64| usize::try_from(index).ok().and_then(|i| names.get(i).copied());
    let weekday = name(&DAYS, days % 7).unwrap_or("Thu");
    let month = name(&MONTHS, month - 1).unwrap_or("Jan");
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Reads a timestamp: `T` and `Z` in either case, fractions, and offsets.
pub fn read_timestamp(text: &str) -> Option<u64> {
    let text = text.trim();
    let (date, time) = text.split_once(['T', 't'])?;
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(zone_at)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = time.splitn(3, ':');
    let (hour, minute, second) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let ms = format!("{fraction:0<3}").get(..3)?.parse::<u64>().ok()?;
    let at = point(year, month, day, hour, minute, second)?.checked_add(ms)?;
    let offset_ms = |offset: &str| {
        let (hours, minutes) = offset.split_once(':')?;
        Some((digits(hours, 2)? * 60 + digits(minutes, 2)?) * 60_000)
    };
    match zone.split_at_checked(1)? {
        ("Z" | "z", "") => Some(at),
        ("+", offset) => at.checked_sub(offset_ms(offset)?),
        ("-", offset) => at.checked_add(offset_ms(offset)?),
        _ => None,
    }
}

/// Reads a SIP date.
pub fn read_sip_date(text: &str) -> Option<u64> {
    let (_, rest) = text.trim().split_once(',')?;
    let mut parts = rest.split_ascii_whitespace();
    let day = digits(parts.next()?, 2)?;
    let month = parts.next()?;
    let month = MONTHS.iter().zip(1_u64..).find(|(name, _)| name.eq_ignore_ascii_case(month))?.1;
    let year = digits(parts.next()?, 4)?;
    let mut time = parts.next()?.splitn(3, ':');
    let (hour, minute, second) = (digits(time.next()?, 2)?, digits(time.next()?, 2)?, digits(time.next()?, 2)?);
    if !parts.next()?.eq_ignore_ascii_case("GMT") {
        return None;
    }
    point(year, month, day, hour, minute, second)
}

fn digits(text: &str, count: usize) -> Option<u64> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn clock(ms: u64) -> (u64, u64, u64) {
    let seconds = ms / 1000 % 86_400;
    (seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn point(year: u64, month: u64, day: u64, hour: u64, minute: u64, second: u64) -> Option<u64> {
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range {
        return None;
    }
    let days = days_since_epoch(year, month, day)?;
    (civil(days) == (year, month, day)).then_some(days * MS_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1000)
}

/// Days from 1970-01-01, counted in years that begin in March so that the leap day comes last.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_round_trip() {
        for ms in [0, 951_782_400_000, 1_893_456_000_000, 1_894_699_800_000, 4_107_542_399_000] {
            assert_eq!(read_timestamp(&write_timestamp(ms)), Some(ms));
            assert_eq!(read_sip_date(&write_sip_date(ms)), Some(ms));
        }
        assert_eq!(write_timestamp(1_894_699_800_000), "2030-01-15T09:30:00Z");
        assert_eq!(write_sip_date(1_894_699_800_000), "Tue, 15 Jan 2030 09:30:00 GMT");
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        assert_eq!(read_timestamp("2030-01-15T10:30:00.25+01:00"), Some(1_894_699_800_250));
        assert_eq!(read_timestamp("2030-01-15t04:30:00-05:00"), Some(1_894_699_800_000));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "T", "2030-02-30T00:00:00Z", "2030-01-15", "2030-01-15T09:30Z", "1969-12-31T23:59:59Z", "x"] {
            assert_eq!(read_timestamp(text), None, "{text}");
        }
        for text in ["", "Tue, 15 Jan 2030 09:30:00 CET", "15 Jan 2030 09:30:00 GMT", "Tue, 15 Foo 2030 09:30:00 GMT"] {
            assert_eq!(read_sip_date(text), None, "{text}");
        }
    }
}
