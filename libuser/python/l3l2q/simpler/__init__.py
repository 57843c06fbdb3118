# SPDX-License-Identifier: MIT
"""The L3 interfaces of the reference, simpler, over this library.

A program for the reference runs over memfd or the driver after a change of its imports::

    from simpler.l3_l2_message_queue import create_l3_l2_queue
    from l3l2q.simpler.g1.l3_l2_message_queue import create_l3_l2_queue

There is a package for each generation, because generations 2 and 3 share module names:

    g1    L3L2Queue, L3L2OrchRegion; region version 2.0, twelve scalars
    g2    WorkerChipQueue, WorkerChipOrchRegion; region version 3.0, twelve scalars
    g3    WorkerChipQueue over SPSQ 1.0, ten scalars

Each has the reference's modules by name and a stand-in ``Orchestrator``. With an orchestrator
of the reference, its regions are used through their methods alone. :mod:`l3l2q.simpler.memory`
says where the stand-in's memory comes from. l3l2q-simpler(7) lists what differs.
"""
