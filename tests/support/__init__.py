"""What tests share: fixtures, independent readers, faults, and the simulated cluster.

simulator/   a deterministic cluster in memory, behind the ports of the engine
"""
