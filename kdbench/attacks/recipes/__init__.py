"""kdbench's own text recipes: published attacks whose assets are replaced by what packages bring, under other names.

Their modules import TextAttack and are imported by ``kdbench.attacks._library.build`` only.
"""
