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

// Over the codes of a row, counted from the middle one.
struct CodeMoments {
    double sum, sq_sum;
    double n_top;  // how many are the largest
};

// Lengths of one row.
struct DecodedRow {
    double mul = 0.0;       // what a unit of S is worth: s, or 1
    double start = 1.0;     // what the query's <., m> is worth: m, or 1
    double reach = 0.0;     // |s c~|, or |c~|; rounded up
    double offset = 0.0;    // |m|, likewise
    double low = 0.0, high = 0.0;  // |x| lies between
    double residual = 0.0;  // |t|, rounded up

    bool is_zero() const { return high == 0.0; }
    bool is_bounded() const {
        return is_zero() || (high >= kLeastLength && high <= kMostLength && reach <= kMostLength && offset <= kMostLength);
    }
};

// No smaller than `value` >= 0: a factor does it sooner than directed rounding, and every row takes
// some. (What a denormal loses is nothing beside the slack of a row of kLeastLength.)
inline constexpr double kAbove = 1.0 + 0x1.1p-24, kBelow = 1.0 - 0x1.1p-24;
inline float above(double value) { return static_cast<float>(value * kAbove); }

// Decoded numbers: a grid's are rounded once, and so are the lengths that follow from them.
inline double decoding_error(double length, double residual, const BoundScales& scales) {
    return residual + 1.5 * kUnit * scales.rounding * (length + residual);
}

// |x| of a row on a grid of its own: |w|^2 = s^2 |c~|^2 + 2 s m <1,c~> + d m^2. `root`: of d.
inline DecodedRow decoded_row(const CodeMoments& codes, double step, double start, double half, double root,
                              const BoundScales& scales) {
    constexpr double kUp = 1.0 + 0x1p-30, kDown = 1.0 - 0x1p-30;
    DecodedRow row{step, start};
    const double squares = step * step * codes.sq_sum;
    row.reach = std::sqrt(squares) * kUp;
    row.offset = std::abs(start) * root * kUp;
    if (half != 0.0) row.residual = half * std::abs(step) * std::sqrt(codes.n_top) * kUp * scales.residual;
    double longest = row.reach, shortest = row.reach * (kDown * kDown);
    if (start != 0.0) {
        const double mixed = 2.0 * step * start * codes.sum, offset = row.offset * row.offset;
        const double margin = 0x1p-28 * (squares + std::abs(mixed) + offset), total = squares + mixed + offset;
        longest = std::sqrt(total + margin);
        shortest = std::sqrt(std::max(total - margin, 0.0));
    }
    const double apart = decoding_error(longest, row.residual, scales);
    row.high = longest + apart;
    row.low = std::max(shortest - apart, 0.0);
    return row;
}

// {mul, |s c~| or all of the radius, |t| or -|x|^2 / 2, m}: what differs between queries of a batch
// is worth a term of its own only where one is free. `most_residual`: the largest |r| / N of the batch.
inline RowTerms decoded_terms(Metric metric, const DecodedRow& row, double most_residual, const BoundScales& scales) {
    if (!row.is_bounded()) return unbounded_row();
    if (row.is_zero()) return {};
    const double rest = row.residual + kDecodedSlack * scales.rounding * (row.high + row.offset);
    if (metric == Metric::cosine) {
        const double unit = 1.0 / row.high;
        return {static_cast<float>(row.mul * unit),
                {above(row.reach * unit), above((rest + row.high - row.low) * unit), static_cast<float>(row.start * unit)}};
    }
    RowTerms terms{static_cast<float>(row.mul), {above(row.reach), above(rest), static_cast<float>(row.start)}};
    if (is_euclidean(metric)) {
        terms.add[0] = above(row.reach * most_residual + rest);
        terms.add[1] = static_cast<float>(-0.5 * row.low * row.low * kBelow);
    }
    return terms;
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
