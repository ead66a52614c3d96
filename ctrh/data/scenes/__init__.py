"""The embedded data: scenes drawn from OpenMoji glyphs, with tags as careless as Flickr's."""

from ctrh.data.scenes.sets import clean_tags, read_scenes, scenes_mir, scenes_nus

__all__ = ["clean_tags", "read_scenes", "scenes_mir", "scenes_nus"]
