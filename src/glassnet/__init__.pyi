"""The public names and where they live; a new one is one line here."""

from .analysis import Analysis as Analysis
from .analysis import analyse as analyse
from .analysis import evaluate as evaluate
from .attribution import METHODS as METHODS
from .attribution import Explanation as Explanation
from .attribution import explain as explain
from .attribution.engine.targets import segmented_region as segmented_region
from .attribution.faithfulness import Faithfulness as Faithfulness
from .attribution.faithfulness import SanityCheck as SanityCheck
from .attribution.faithfulness import deletion_insertion as deletion_insertion
from .attribution.faithfulness import faithfulness as faithfulness
from .attribution.faithfulness import sanity_check as sanity_check
from .attribution.faithfulness import share_inside as share_inside
from .attribution.faithfulness import stroke_mask as stroke_mask
from .attribution.faithfulness.layers import rank_layers as rank_layers
from .attribution.faithfulness.ranking import LayerRanking as LayerRanking
from .data import DATASETS as DATASETS
from .data import Dataset as Dataset
from .data import Split as Split
from .data import load_dataset as load_dataset
from .embedding import Clustering as Clustering
from .embedding import Embedding as Embedding
from .embedding import Quality as Quality
from .embedding import cka as cka
from .embedding import cluster as cluster
from .embedding import embed as embed
from .embedding import layer_scores as layer_scores
from .embedding import linear_probe as linear_probe
from .embedding import quality as quality
from .embedding import separability as separability
from .errors import GlassnetError as GlassnetError
from .errors import InputError as InputError
from .errors import WorkError as WorkError
from .experiment import Run as Run
from .models import MODELS as MODELS
from .models import create_model as create_model
from .models.features import extract_features as extract_features
from .models.inference import predict as predict
from .models.layer_table import layer_table as layer_table
from .reports import report as report
from .settings import TrainSettings as TrainSettings
from .subject import Subject as Subject
from .training import train as train
from .tuning import tune as tune

__version__: str
