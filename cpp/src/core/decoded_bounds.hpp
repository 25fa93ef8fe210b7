// The certificate of codes searched as what they decode to, without decoding them.
//
// A row x is what its codes c stand for, rounded to float32. With c~ = c - k for the middle code k,
//
//   x = w + e,   w_i = s_i c~_i + m_i,   |e_i| <= u |w_i - t_i| + t_i,
//
// where t_i = |s_i| / 2 if decoding moves the largest code from the middle of its values to the end of
// the range, and else 0. Step s and start m belong to the row (or to all), or to the columns: then s is
// taken into the query. For y = q (s of the row) or y = q s (of columns) codes of one or two digits
// give y = b z + r, and the scan returns S = <z, c~> exactly. With s = 1 where it went into the query,
//
//   <q,x> = s <y,c~> + <q,m> + <q,e> <= s b S + |r| |s c~| + <q,m> + |q||e|       (Cauchy-Schwarz)
//
// Nothing of the row itself is left out: |e| is rounding but for those few codes, and two digits make
// |r| some 6e-5 of |y|. The lengths |c~| and |w| follow from integer sums over the codes, of columns
// |x| from a float32 sum.
//
// Units: everything is divided by N = |q| (rounded up; and by |x|, rounded up, for cosine, which moves
// a cosine by at most (high - low) / high where low <= |x| <= high).
//
// Rounding, as in core/code_bounds.hpp: the float32 epilogue rounds every sum a few times, each by less
// than u (|y||s c~| / N + |m| + |x| + |r||s c~| / N), less than 60 u of it in all. With the canonical
// score's own rounding and e's that stays below kDecodedSlack = 128 u.
#pragma once

#include "core/code_bounds.hpp"

namespace embmath::core {

inline constexpr double kDecodedSlack = 128.0 * kUnit;

// Beyond these a row's rounding is not relative to its length, or its terms leave float32.
inline constexpr double kLeastLength = 0x1p-40, kMostLength = 0x1p50;

inline constexpr int kDecodedRows = 16;

// Over the codes of rows, counted from the middle one.
struct CodeMoments {
    double sum[kDecodedRows], sq_sum[kDecodedRows];
    double n_top[kDecodedRows];  // how many are the largest
};

// Lengths of rows, array by array: every row takes them, and plain loops over these become vectors.
struct DecodedRows {
    double mul[kDecodedRows];    // what a unit of S is worth: s, or 1
    double start[kDecodedRows];  // what the query's <., m> is worth: m, or 1
    double reach[kDecodedRows];  // |s c~|, or |c~|; rounded up
    double offset[kDecodedRows]; // |m|, likewise
    double low[kDecodedRows], high[kDecodedRows];  // |x| lies between
    double residual[kDecodedRows] = {};            // |t|, rounded up

    bool is_zero(int i) const { return high[i] == 0.0; }
    bool is_usual(int i) const {
        return (high[i] >= kLeastLength) & (high[i] <= kMostLength) & (reach[i] <= kMostLength) & (offset[i] <= kMostLength);
    }
    bool is_bounded(int i) const { return is_zero(i) || is_usual(i); }
};

// No smaller than `value` >= 0: a factor does it sooner than directed rounding. (What a denormal loses
// is nothing beside the slack of a row of kLeastLength.)
inline constexpr double kAbove = 1.0 + 0x1.1p-24, kBelow = 1.0 - 0x1.1p-24;
inline constexpr double kUp = 1.0 + 0x1p-30, kDown = 1.0 - 0x1p-30;  // the same in float64

// |x| of rows on grids of their own, or on one grid: |w|^2 = s^2 |c~|^2 + 2 s m <1,c~> + d m^2. `root`: of d.
inline void lay_lengths(DecodedRows& rows, const CodeMoments& codes, double half, double root, const BoundScales& scales) {
    const double decoding = 1.5 * kUnit * scales.rounding;
    bool cancels = false;
    double margin[kDecodedRows], total[kDecodedRows];
    for (int i = 0; i < kDecodedRows; ++i) {
        const double step = rows.mul[i], start = rows.start[i], offset = start * root;
        const double squares = step * step * codes.sq_sum[i], mixed = 2.0 * step * start * codes.sum[i];
        const double parts = squares + std::abs(mixed) + offset * offset;
        total[i] = squares + mixed + offset * offset;
        margin[i] = 0x1p-40 * parts;
        rows.reach[i] = std::sqrt(squares) * kUp;
        rows.offset[i] = std::abs(offset) * kUp;
        rows.high[i] = std::sqrt(total[i] + margin[i]) * kUp;
        rows.low[i] = rows.high[i] * (1.0 - 0x1p-29);  // unless something cancels
        cancels |= !(parts < 4.0 * total[i]);
    }
    if (cancels) {
        for (int i = 0; i < kDecodedRows; ++i) rows.low[i] = std::sqrt(std::max(total[i] - margin[i], 0.0)) * kDown;
    }
    if (half != 0.0) {
        const double most = half * kUp * scales.residual;
        for (int i = 0; i < kDecodedRows; ++i) rows.residual[i] = most * std::abs(rows.mul[i]) * std::sqrt(codes.n_top[i]);
    }
    for (int i = 0; i < kDecodedRows; ++i) {
        const double apart = rows.residual[i] + decoding * (rows.high[i] + rows.residual[i]);
        rows.high[i] += apart;
        rows.low[i] -= apart;
        if (rows.low[i] < 0.0) rows.low[i] = 0.0;
    }
}

// The same without a look at the codes, of which none is farther from the middle one than that is from
// 0: enough for products, of which lengths bound small parts only.
inline void assume_lengths(DecodedRows& rows, int middle, double root) {
    for (int i = 0; i < kDecodedRows; ++i) {
        rows.reach[i] = middle * std::abs(rows.mul[i]) * root * kUp;
        rows.offset[i] = std::abs(rows.start[i]) * root * kUp;
        rows.low[i] = 0.0;
        rows.high[i] = rows.reach[i] + rows.offset[i];
    }
}

// {mul, |s c~| or all of the radius, |t| or -|x|^2 / 2, m}: what differs between queries of a batch
// is worth a term of its own only where one is free. `most_residual`: the largest |r| / N of the batch.
inline void lay_terms(Metric metric, const DecodedRows& rows, double most_residual, const BoundScales& scales, RowTerms* out) {
    const double slack = kDecodedSlack * scales.rounding;
    bool is_usual = true;
    for (int i = 0; i < kDecodedRows; ++i) is_usual &= rows.is_usual(i);
    if (metric == Metric::cosine) {
        for (int i = 0; i < kDecodedRows; ++i) {
            const double unit = 1.0 / rows.high[i];
            const double rest = rows.residual[i] + slack * (rows.high[i] + rows.offset[i]) + (rows.high[i] - rows.low[i]);
            out[i] = {static_cast<float>(rows.mul[i] * unit),
                      {static_cast<float>(rows.reach[i] * unit * kAbove), static_cast<float>(rest * unit * kAbove),
                       static_cast<float>(rows.start[i] * unit)}};
        }
    } else {
        const bool is_distance = is_euclidean(metric);
        const double own = is_distance ? most_residual : 1.0;
        for (int i = 0; i < kDecodedRows; ++i) {
            const double rest = rows.residual[i] + slack * (rows.high[i] + rows.offset[i]);
            const double radius = rows.reach[i] * own, half_square = -0.5 * rows.low[i] * rows.low[i] * kBelow;
            out[i] = {static_cast<float>(rows.mul[i]),
                      {static_cast<float>((is_distance ? radius + rest : radius) * kAbove),
                       static_cast<float>(is_distance ? half_square : rest * kAbove), static_cast<float>(rows.start[i])}};
        }
    }
    if (is_usual) return;
    for (int i = 0; i < kDecodedRows; ++i) {
        if (rows.is_zero(i)) out[i] = {};
        else if (!rows.is_usual(i)) out[i] = unbounded_row();
    }
}

struct DecodedQuery {
    Metric metric = Metric::dot;
    bool bounded = false;
    double norm = 0.0;      // N
    double step = 0.0;      // b / N
    double residual = 0.0;  // (|r| + slack |y|) / N, rounded up
    double along = 0.0;     // <q, m> / N, or <q, 1> / N

    Gate gate(double tau, const BoundScales& scales) const {
        Gate gate;
        if (!bounded) {
            gate.constant = std::numeric_limits<float>::infinity();
            return gate;
        }
        const double slack = kDecodedSlack * scales.rounding;
        gate.scale = static_cast<float>(step);
        gate.weight[0] = is_euclidean(metric) ? 1.0F : round_up(residual * kTermSlack);
        gate.weight[1] = is_euclidean(metric) ? round_down((1.0 - slack) / norm) : 1.0F;
        gate.weight[2] = static_cast<float>(along);
        if (tau > -kInfinity) gate.threshold = CodeQuery{metric, true, norm}.threshold(tau, slack);
        return gate;
    }
};

}  // namespace embmath::core
