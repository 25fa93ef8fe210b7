#include "dispatch/registry.hpp"

#include <atomic>
#include <cstdlib>

#include "dispatch/cpu_features.hpp"
#include "embmath/errors.hpp"
#include "isa_list.hpp"

namespace embmath::dispatch {

namespace {

std::vector<const kernel::KernelTable*> runnable() {
    static const FeatureMask present = detect_cpu_features();
    std::vector<const kernel::KernelTable*> tables;
    for (const IsaRow& row : kIsaRows) {
        if ((row.required & ~present) == 0) tables.push_back(row.table);
    }
    return tables;
}

const kernel::KernelTable* find(const std::string& name, const char* argument) {
    std::string known;
    for (const kernel::KernelTable* table : runnable()) {
        if (name == table->name) return table;
        known += (known.empty() ? "" : ", ") + std::string(table->name);
    }
    throw ValueError(std::string(argument) + ": '" + name + "' is unknown or not supported by this CPU, available: " +
                     known);
}

std::atomic<const kernel::KernelTable*> g_active{nullptr};

const kernel::KernelTable* choose() {
    const char* forced = std::getenv("EMBMATH_FORCE_ISA");
    return forced != nullptr && *forced != '\0' ? find(forced, "EMBMATH_FORCE_ISA") : runnable().back();
}

}  // namespace

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const kernel::KernelTable* table : runnable()) names.emplace_back(table->name);
    return names;
}

const kernel::KernelTable& active() {
    const kernel::KernelTable* table = g_active.load(std::memory_order_acquire);
    if (table == nullptr) {
        table = choose();
        g_active.store(table, std::memory_order_release);
    }
    return *table;
}

std::string force(const std::string& name) {
    const std::string previous = active().name;
    g_active.store(find(name, "isa"), std::memory_order_release);
    return previous;
}

}  // namespace embmath::dispatch
