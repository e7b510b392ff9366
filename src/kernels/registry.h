// SPDX-License-Identifier: MIT
// THE list of CPU kernel tables and the choice among them. tern info prints what is chosen here and why.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "kernels/cpu/kernel_table.h"

namespace tern {

/// All compiled tables, scalar first, in ascending priority.
std::span<const KernelTable* const> kernel_tables();

/// The names that --isa accepts, "auto" first.
std::string known_isas();

/// Starts from the scalar table and overlays every table whose needs are met by `features`, in order, up to
/// and including the one called `isa` ("auto": all of them). The result's name is that of the last table
/// overlaid. Errors: an unknown name (lists the known ones), or one that `features` cannot run (names what is
/// missing).
Result<KernelTable> choose_kernels(std::string_view isa, uint64_t features);

/// One line per table: the ops it serves in `chosen`, or why it serves none. For `tern info`.
std::string describe_kernels(const KernelTable& chosen, uint64_t features);

}  // namespace tern
