//! The little statistics that the level tier needs: normal equations of a few columns, and Student's distribution.

/// Most rows of a fit.
pub(crate) const ROWS: usize = 48;

/// Most columns of a fit.
const COLUMNS: usize = 3;

/// One column of a fit; rows past the fit's length are ignored.
pub(crate) type Column = [f64; ROWS];

/// The solution of a set of normal equations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Solution {
    /// One for each column, in order.
    pub(crate) coefficients: [f64; COLUMNS],
    /// Variance of the first coefficient in units of the noise's variance.
    pub(crate) leverage: f64,
}

/// Solves normal equations, given by the lower triangle of their matrix, for the first `count` columns. `None` where the
/// columns do not tell each other apart.
pub(crate) fn solve_normal(
    normal: &[[f64; COLUMNS]; COLUMNS],
    moments: &[f64; COLUMNS],
    count: usize,
) -> Option<Solution> {
    let lower = cholesky(normal, count)?;
    let coefficients = solve(&lower, count, *moments);
    let leverage = solve(&lower, count, [1.0, 0.0, 0.0])[0];
    Some(Solution {
        coefficients,
        leverage,
    })
}

/// Lower triangle of the Cholesky decomposition; `None` where the matrix is singular to working precision.
fn cholesky(matrix: &[[f64; COLUMNS]; COLUMNS], count: usize) -> Option<[[f64; COLUMNS]; COLUMNS]> {
    let mut lower = [[0.0; COLUMNS]; COLUMNS];
    for i in 0..count {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let rest = matrix[i][j] - known;
            if i == j {
                if rest.is_nan() || rest.is_infinite() || rest <= matrix[i][i] * 1e-9 {
                    return None;
                }
                lower[i][i] = rest.sqrt();
            } else {
                lower[i][j] = rest / lower[j][j];
            }
        }
    }
    Some(lower)
}

fn solve(
    lower: &[[f64; COLUMNS]; COLUMNS],
    count: usize,
    mut right: [f64; COLUMNS],
) -> [f64; COLUMNS] {
    for i in 0..count {
        let known: f64 = (0..i).map(|k| lower[i][k] * right[k]).sum();
        right[i] = (right[i] - known) / lower[i][i];
    }
    for i in (0..count).rev() {
        let known: f64 = (i + 1..count).map(|k| lower[k][i] * right[k]).sum();
        right[i] = (right[i] - known) / lower[i][i];
    }
    right
}

/// Probability that Student's t with `freedom` degrees of freedom exceeds `t`.
pub(crate) fn student_tail(t: f64, freedom: f64) -> f64 {
    if t <= 0.0 {
        return 1.0
            - if t == 0.0 {
                0.5
            } else {
                student_tail(-t, freedom)
            };
    }
    0.5 * incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// Regularised incomplete beta function I_x(a, b), by Lentz's continued fraction (Press et al., Numerical Recipes, 6.4).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(x, a, b) / a
    } else {
        1.0 - front * continued_fraction(1.0 - x, b, a) / b
    }
}

fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..200 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / nonzero(1.0 + even * d);
        c = nonzero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / nonzero(1.0 + odd * d);
        c = nonzero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-12 {
            break;
        }
    }
    fraction
}

/// Logarithm of the gamma function for positive arguments (Lanczos' approximation, g = 7, 9 terms).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let base = x + 7.5;
    let series: f64 = TERMS[0]
        + TERMS[1..]
            .iter()
            .zip(1..)
            .map(|(term, k)| term / (x + f64::from(k)))
            .sum::<f64>();
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * base.ln() - base + series.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_equations_are_solved() {
        // 3 a + b = 5, a + 2 b = 5: a = 1, b = 2; the inverse's first element is 2 / 5.
        let solution = solve_normal(
            &[[3.0, 0.0, 0.0], [1.0, 2.0, 0.0], [0.0; 3]],
            &[5.0, 5.0, 0.0],
            2,
        )
        .expect("independent columns");
        assert!(
            (solution.coefficients[0] - 1.0).abs() < 1e-12
                && (solution.coefficients[1] - 2.0).abs() < 1e-12
        );
        assert!((solution.leverage - 0.4).abs() < 1e-12);
    }

    #[test]
    fn columns_that_say_the_same_are_refused() {
        assert!(
            solve_normal(
                &[[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0; 3]],
                &[1.0, 1.0, 0.0],
                2
            )
            .is_none()
        );
        assert!(
            solve_normal(
                &[[f64::NAN, 0.0, 0.0], [0.0; 3], [0.0; 3]],
                &[1.0, 0.0, 0.0],
                1
            )
            .is_none()
        );
    }

    #[test]
    fn students_tail_agrees_with_the_tables() {
        for (t, freedom, expected) in [
            (0.0, 5.0, 0.5),
            (2.015, 5.0, 0.05),
            (3.365, 5.0, 0.01),
            (2.228, 10.0, 0.025),
            (1.645, 1e6, 0.05),
            (-2.228, 10.0, 0.975),
            (4.587, 10.0, 0.0005),
        ] {
            let found = student_tail(t, freedom);
            assert!(
                (found / expected - 1.0_f64).abs() < 2e-3,
                "t {t}, {freedom} degrees: {found}, not {expected}"
            );
        }
    }

    #[test]
    fn far_tails_stay_positive_and_shrink() {
        let tails: Vec<f64> = [5.0, 10.0, 20.0, 40.0]
            .map(|t| student_tail(t, 12.0))
            .into();
        assert!(
            tails
                .windows(2)
                .all(|pair| pair[1] < pair[0] && pair[1] > 0.0),
            "{tails:?}"
        );
    }
}
