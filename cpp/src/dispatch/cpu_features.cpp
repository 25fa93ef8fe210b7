#include "dispatch/cpu_features.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace embmath::dispatch {

#if defined(__x86_64__)

namespace {

struct Registers {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf) {
    Registers r;
    __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

// XCR0: which register states the operating system saves.
std::uint64_t enabled_states(const Registers& leaf1) {
    constexpr unsigned kOsXsave = 1u << 27;
    if ((leaf1.ecx & kOsXsave) == 0) return 0;
    unsigned low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return std::uint64_t{high} << 32 | low;
}

}  // namespace

FeatureMask detect_cpu_features() {
    constexpr std::uint64_t kYmmState = 0x6;    // SSE and AVX halves
    constexpr std::uint64_t kZmmState = 0xe6;   // and opmask, upper ZMM, ZMM16-31
    constexpr std::uint64_t kTileState = 0x600e6;
    const Registers leaf1 = cpuid(1);
    const Registers leaf7 = cpuid(7);
    const std::uint64_t states = enabled_states(leaf1);

    FeatureMask mask = 0;
    const auto add = [&mask](unsigned reg, int bit, FeatureMask feature) {
        if (reg >> bit & 1u) mask |= feature;
    };
    if ((states & kYmmState) == kYmmState) {
        add(leaf7.ebx, 5, feature::avx2);
        add(leaf1.ecx, 12, feature::fma);
        add(leaf1.ecx, 29, feature::f16c);
    }
    if ((states & kZmmState) == kZmmState) {
        add(leaf7.ebx, 16, feature::avx512f);
        add(leaf7.ebx, 30, feature::avx512bw);
        add(leaf7.ebx, 17, feature::avx512dq);
        add(leaf7.ebx, 31, feature::avx512vl);
        add(leaf7.ecx, 11, feature::avx512_vnni);
        add(leaf7.ecx, 14, feature::avx512_vpopcntdq);
    }
    if ((states & kTileState) == kTileState) {
        add(leaf7.edx, 24, feature::amx_tile);
        add(leaf7.edx, 25, feature::amx_int8);
    }
    return mask;
}

#else

FeatureMask detect_cpu_features() { return 0; }

#endif

bool acquire(FeatureMask features) {
    if ((features & (feature::amx_tile | feature::amx_int8)) == 0) return true;
#if defined(__linux__) && defined(__x86_64__)
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(2): ARCH_REQ_XCOMP_PERM
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
    return false;
#endif
}

}  // namespace embmath::dispatch
