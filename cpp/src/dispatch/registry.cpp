#include "dispatch/registry.hpp"

#include <atomic>
#include <cstdlib>

#include "dispatch/cpu_features.hpp"
#include "embmath/errors.hpp"
#include "isa_list.hpp"

namespace embmath::dispatch {

namespace {

std::vector<const IsaRow*> runnable() {
    static const FeatureMask present = detect_cpu_features();
    std::vector<const IsaRow*> rows;
    for (const IsaRow& row : kIsaRows) {
        if ((row.required & ~present) == 0) rows.push_back(&row);
    }
    return rows;
}

const IsaRow& find(const std::string& name, const char* argument) {
    std::string known;
    for (const IsaRow* row : runnable()) {
        if (name == row->table->name) return *row;
        known += (known.empty() ? "" : ", ") + std::string(row->table->name);
    }
    throw ValueError(std::string(argument) + ": '" + name + "' is unknown or not supported by this CPU, available: " +
                     known);
}

const IsaRow& find_granted(const std::string& name, const char* argument) {
    const IsaRow& row = find(name, argument);
    if (acquire(row.required)) return row;
    throw ValueError(std::string(argument) + ": the operating system refuses the registers of '" + name + "'");
}

const char* forced_name() {
    const char* forced = std::getenv("EMBMATH_FORCE_ISA");
    return forced != nullptr && *forced != '\0' ? forced : nullptr;
}

std::atomic<const kernel::KernelTable*> g_active{nullptr};

const kernel::KernelTable* choose() {
    if (const char* forced = forced_name()) return find_granted(forced, "EMBMATH_FORCE_ISA").table;
    const std::vector<const IsaRow*> rows = runnable();
    for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
        if (acquire((*row)->required)) return (*row)->table;
    }
    return rows.front()->table;
}

}  // namespace

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const IsaRow* row : runnable()) names.emplace_back(row->table->name);
    return names;
}

void check_forced() {
    if (const char* forced = forced_name()) find(forced, "EMBMATH_FORCE_ISA");
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
    g_active.store(find_granted(name, "isa").table, std::memory_order_release);
    return previous;
}

}  // namespace embmath::dispatch
