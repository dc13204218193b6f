//! An axis of a picture: from where to where, which marks, and where a value stands.

/// Marks that a linear axis has at least.
const MARKS: f64 = 5.0;

/// Up to so many factors of ten a logarithmic axis marks 1, 2 and 5; beyond, only the powers.
const FINE: i32 = 3;

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    is_logarithmic: bool,
    marks: Vec<f64>,
}

impl Axis {
    /// One that all values fit on; a linear one begins at zero. What is not above zero has no place on a logarithmic one.
    pub(super) fn over(values: impl Iterator<Item = f64>, is_logarithmic: bool) -> Self {
        let shown: Vec<f64> = values.filter(|value| !is_logarithmic || *value > 0.0).collect();
        let least = shown.iter().copied().reduce(f64::min);
        let most = shown.iter().copied().reduce(f64::max);
        let marks = match (least, most) {
            (Some(least), Some(most)) if is_logarithmic => powers(least, most),
            (Some(least), Some(most)) => steps(least.min(0.0), most.max(0.0)),
            _ => vec![1.0, 10.0],
        };
        Self { is_logarithmic, marks }
    }

    /// Where lines of the grid and numbers stand.
    pub(super) fn marks(&self) -> &[f64] {
        &self.marks
    }

    /// The place of a value, from 0 at the start to 1 at the end.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let along = |value: f64| if self.is_logarithmic { value.log10() } else { value };
        let (start, end) = (along(*self.marks.first()?), along(*self.marks.last()?));
        let at = (along(value) - start) / (end - start);
        at.is_finite().then(|| at.clamp(0.0, 1.0))
    }
}

/// Round numbers at equal distances, from below the least to above the most.
fn steps(least: f64, most: f64) -> Vec<f64> {
    let wide = if most > least { most - least } else { 1.0 };
    let step = round_up(wide / MARKS);
    let (first, last) = ((least / step).floor(), (most / step).ceil().max((least / step).floor() + 1.0));
    let mut marks = Vec::new();
    let mut index = first;
    while index <= last {
        marks.push(index * step);
        index += 1.0;
    }
    marks
}

/// The least of 1, 2 and 5 times a power of ten that is not below this.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].map(|factor| factor * power).into_iter().find(|round| *round >= value).unwrap_or(10.0 * power)
}

/// Powers of ten, with twice and five times them if there are few, from below the least to above the most.
fn powers(least: f64, most: f64) -> Vec<f64> {
    let exponent = |value: f64| value.log10().floor() as i32;
    let (first, last) = (exponent(least), exponent(most));
    let factors: &[f64] = if last - first <= FINE { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let all: Vec<f64> = (first..=last.saturating_add(1))
        .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)))
        .collect();
    let below = all.iter().rposition(|mark| *mark <= least).unwrap_or(0);
    let above = all.iter().position(|mark| *mark >= most).unwrap_or(all.len());
    // One mark alone is no axis.
    all.get(below..=above.max(below + 1)).unwrap_or(&all).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], is_logarithmic: bool, marks: &[f64]) {
        let axis = Axis::over(values.iter().copied(), is_logarithmic);
        let found: Vec<_> = axis.marks().iter().map(|mark| format!("{mark:.4}")).collect();
        assert_eq!(found, marks.iter().map(|mark| format!("{mark:.4}")).collect::<Vec<_>>(), "{values:?}");
    }

    #[test]
    fn a_linear_axis_has_round_marks_from_zero_to_above_the_most() {
        check(&[3.0, 47.0], false, &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        check(&[0.1, 0.9], false, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(&[-4.0, 4.0], false, &[-4.0, -2.0, 0.0, 2.0, 4.0]);
        check(&[0.0], false, &[0.0, 0.2]);
    }

    #[test]
    fn a_logarithmic_axis_marks_powers_and_finely_where_there_are_few() {
        check(&[0.3, 40.0], true, &[0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        check(&[10.0, 3e6], true, &[1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7]);
        check(&[10.0], true, &[10.0, 20.0]);
        check(&[0.0], true, &[1.0, 10.0]);
    }

    #[test]
    fn every_value_has_a_place_between_the_ends() {
        for is_logarithmic in [false, true] {
            let axis = Axis::over([1.0, 10.0, 100.0].into_iter(), is_logarithmic);
            let places = [1.0, 10.0, 100.0].map(|value| axis.place(value).unwrap());
            assert!(places.is_sorted() && places[0] >= 0.0 && places[2] <= 1.0, "{places:?}");
        }
        let middle = Axis::over([1.0, 100.0].into_iter(), true).place(10.0).unwrap();
        assert!((middle - 0.5).abs() < 1e-9, "{middle}");
        assert_eq!(Axis::over([1.0, 100.0].into_iter(), true).place(0.0), None);
    }
}
