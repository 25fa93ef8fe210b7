// What this CPU can run *and* the operating system preserves across context switches.
#pragma once

#include <cstdint>

namespace embmath::dispatch {

using FeatureMask = std::uint32_t;

namespace feature {
inline constexpr FeatureMask avx2 = 1u << 0;
inline constexpr FeatureMask fma = 1u << 1;
inline constexpr FeatureMask f16c = 1u << 2;
inline constexpr FeatureMask avx512f = 1u << 3;
inline constexpr FeatureMask avx512bw = 1u << 4;
inline constexpr FeatureMask avx512dq = 1u << 5;
inline constexpr FeatureMask avx512vl = 1u << 6;
inline constexpr FeatureMask avx512_vnni = 1u << 7;
inline constexpr FeatureMask avx512_vpopcntdq = 1u << 8;
inline constexpr FeatureMask amx_tile = 1u << 9;
inline constexpr FeatureMask amx_int8 = 1u << 10;
}  // namespace feature

FeatureMask detect_cpu_features();

// Asks the operating system for what it grants on request only (the registers of AMX make signal
// frames larger). False: these features must not be used. Asked when a table is first used, not when
// the library is loaded.
bool acquire(FeatureMask features);

}  // namespace embmath::dispatch
