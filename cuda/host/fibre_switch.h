// SPDX-License-Identifier: Apache-2.0
// Switching between fibres of one thread: the callee-saved registers and the stack pointer change, nothing else. On
// x86-64 the switch is the host layer's own, since Boost.Context's also saves and loads the control words of the
// floating-point units, which takes longer than all the rest and is of no use here: all fibres run with the same ones.
// Elsewhere it is Boost.Context's.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <boost/context/detail/fcontext.hpp>
#endif

namespace bitcycle::cuda_on_host {

#if defined(__x86_64__)
/// What a switch hands over: the context that was left, and the data that it gave.
struct FibreTransfer {
  void* fctx;
  void* data;
};
#else
using FibreTransfer = boost::context::detail::transfer_t;
#endif
using FibreEntry = void (*)(FibreTransfer);

/// A context that begins `entry` when it is switched to; `entry` never returns. stack: its lowest byte.
void* make_fibre_context(std::byte* stack, std::size_t bytes, FibreEntry entry);
/// Leaves this fibre for `context`, and returns when something switches back to it.
FibreTransfer switch_fibre(void* context, void* data);

}  // namespace bitcycle::cuda_on_host
