// SPDX-License-Identifier: MIT
// Models of the store as JSON and as tables: what pull, list and show print. Schemas: docs/json.md.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/report.h"
#include "hub/catalogue.h"
#include "hub/hub_errors.h"
#include "hub/manifest.h"

namespace tern::cli {

Json manifest_json(const hub::Manifest& manifest);
Json catalogue_json(const hub::CatalogueEntry& entry);

/// Rows in columns that are as wide as they need, two blanks between them; the first row is the heading.
void print_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace tern::cli
