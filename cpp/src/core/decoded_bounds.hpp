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
#include "core/decoded_rows.hpp"

namespace embmath::core {

inline constexpr double kDecodedSlack = 128.0 * kUnit;

// What a row keeps in its lane is decoded_rows.hpp; kernel/decoded_terms.hpp makes bounds' terms of it.

// Decoding rounds a number twice, its parts adding up to at most one and a half times itself.
inline constexpr double kDecoding = 1.5 * kUnit;

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
