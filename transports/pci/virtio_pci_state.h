// SPDX-License-Identifier: Apache-2.0
//
// What the driver wrote to a virtio function's registers and the virtio core does not keep: selectors, halves
// of addresses, interrupt vectors. Plain data of the loop.
#pragma once

#include "migration/state/schema.h"
#include "transports/pci/virtio_spec.h"

#include <array>
#include <cstdint>
#include <vector>

namespace godwit::pci {

// The registers behind one value of queue_select. Each pair is low, high.
struct QueueRegisters {
    std::uint16_t num = 0; // the size that the driver wrote; 0 when it left the default
    bool enabled = false;
    std::array<std::uint32_t, 2> desc{};
    std::array<std::uint32_t, 2> avail{};
    std::array<std::uint32_t, 2> used{};
    bool operator==(const QueueRegisters&) const = default;
};

struct VirtioPciState {
    explicit VirtioPciState(std::size_t count) : queues(count), vectors(count, VIRTIO_MSI_NO_VECTOR) {}

    std::uint32_t device_feature_select = 0;
    std::uint32_t driver_feature_select = 0;
    std::array<std::uint32_t, 2> driver_features{};
    std::vector<QueueRegisters> queues;
    std::uint16_t config_vector = VIRTIO_MSI_NO_VECTOR;
    std::vector<std::uint16_t> vectors; // of each queue
};

} // namespace godwit::pci

namespace godwit {

template <>
struct Schema<pci::QueueRegisters> {
    static constexpr std::string_view name = "virtio_pci/modern_queue_state";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{
        Field{"num", &pci::QueueRegisters::num},         Unused{"unused", 1},
        Field{"enabled", &pci::QueueRegisters::enabled}, Field{"desc", &pci::QueueRegisters::desc},
        Field{"avail", &pci::QueueRegisters::avail},     Field{"used", &pci::QueueRegisters::used},
    };
};
static_assert(schema_is_complete<pci::QueueRegisters>());

} // namespace godwit
